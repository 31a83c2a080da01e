; Berries that blocks release, and the flag: object SPECIAL.

.include "memory.inc"

BERRY_SPEED  = $10
BERRY_RISE   = 32 ; frames, half a pixel each
GROW_FRAMES  = 45
BERRY_POINTS = 1 ; 1000
FLAG_FOOT    = 156
GRAVITY      = $40
FALL_MAX     = 4

.segment "CODE"

; A berry comes out of the block at t0, t1 (x) and t2 (y).
release_berry:
  ldx #SPECIAL
  lda t0
  sta obj_x, x
  lda t1
  sta obj_x_page, x
  lda t2
  sec
  sbc #8 ; its box is 24 high
  sta obj_y, x
  lda #1
  sta obj_y_page, x
  sta obj_active, x
  lda #TYPE_BERRY
  sta obj_type, x
  lda #BERRY_RISE
  sta obj_timer, x
  lda #BERRY_SPEED
  sta obj_x_speed, x
  lda #0
  sta obj_y_speed, x
  sta obj_y_frac, x
  rts

update_special:
  ldx #SPECIAL
  lda obj_active, x
  beq @done
  lda obj_type, x
  cmp #TYPE_FLAG
  beq @flag
  lda obj_timer, x
  beq @free
  dec obj_timer, x
  and #1
  beq :+
  dec obj_y, x
: jmp @touch
@free:
  jsr walk
  lda #GRAVITY
  ldy #FALL_MAX
  jsr fall_and_land
@touch:
  jsr leave_when_far
  lda obj_active, x
  beq @done
  lda player_state
  cmp #STATE_PLAY
  bne @done
  jsr meets_player
  bcc @done
  lda #0
  sta obj_active, x
  lda #BERRY_POINTS
  ldx #3
  jsr add_score
  lda power
  bne @done
  lda #1
  sta power
  lda #GROW_FRAMES
  sta state_timer
  lda #STATE_GROW
  sta player_state
@done:
  rts
@flag: ; comes down with the hero
  lda player_state
  cmp #STATE_SLIDE
  bne @done
  lda obj_y, x
  cmp #FLAG_FOOT
  bcs @done
  adc #2
  sta obj_y, x
  rts

draw_special:
  ldx #SPECIAL
  lda obj_active, x
  beq @done
  lda #2
  sta t2
  lda #8
  sta t7
  lda obj_type, x
  cmp #TYPE_FLAG
  beq @flag
  ldy #PAL_RED
  lda obj_timer, x
  beq :+
  ldy #PAL_RED | BEHIND ; still within its block
: lda #SPR_BERRY
  jmp draw_object
@flag:
  ldy #PAL_RED
  lda #SPR_FLAG
  jmp draw_object
@done:
  rts
