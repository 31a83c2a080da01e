; The hero while he is played: what the buttons do, what he runs into, what harms him.

.include "memory.inc"

; Speeds are in 1/16 pixel a frame, with 1/256 of that in x_speed_frac.
WALK_MAX   = $18
RUN_MAX    = $28
WALK_GAIN  = $A0 ; a frame, in 1/256
RUN_GAIN   = $E0
FRICTION   = $C0
SKID       = $0180
RUN_LEFT   = 10 ; frames that he may run on after B

FALL_MAX   = 4 ; pixels a frame
FAST       = $19 ; from this speed on a jump is a high one

; His body, in pixels from his place. It is 32 high when tall, 16 when small; both end at FEET.
BODY_LEFT  = 2
BODY_RIGHT = 13
FEET       = 32
TOE_LEFT   = 3
TOE_RIGHT  = 12
HEAD_LEFT  = 5 ; narrower than the body: at a corner he slips by
HEAD_RIGHT = 10
HEAD_SMALL = 17
HEAD_TALL  = 3
LANDING    = 8 ; so deep in the ground he is put onto it

HURT_FRAMES = 45
HURT_INTERVALS = 8
DEATH_SPEED = .lobyte(-5)
DEATH_PAUSE = 24
BOUNCE = .lobyte(-4)

.segment "CODE"

; Turns buttons into speeds.
control_player:
  lda buttons
  and #LEFT | RIGHT
  cmp #LEFT | RIGHT
  bne :+
  lda #0 ; a real cross cannot press both
: sta t7 ; where to
  lda obj_air
  bne @in_air
  lda t7
  beq :+
  sta facing
: lda buttons
  and #BUTTON_B
  beq :+
  lda #RUN_LEFT
  sta run_timer
: lda #WALK_MAX
  ldy run_timer
  beq @max
  dec run_timer
  lda #RUN_MAX
  bne @max ; always
@in_air: ; he keeps the speed he has, and does not get faster than his kind of jump
  jsr absolute_speed
  cmp #WALK_MAX + 1
  lda #WALK_MAX
  bcc @max
  lda #RUN_MAX
@max:
  sta t0
  lda t7
  beq @coast
  cmp #LEFT
  bne :+
  jsr mirror
: jsr accelerate
  lda t7
  cmp #LEFT
  bne @jump
  jsr mirror
  jmp @jump
@coast:
  lda obj_air
  bne @jump
  lda obj_x_speed
  bmi :+
  jsr brake
  jmp @jump
: jsr mirror
  jsr brake
  jsr mirror

@jump:
  lda obj_x_speed
  beq :++ ; the direction stays when he stops
  ldy #RIGHT
  asl
  bcc :+
  iny
: sty obj_dir
: lda obj_air
  bne @hold
  lda pressed
  and #BUTTON_A
  beq @hold
  jsr absolute_speed
  ldy #0
  cmp #FAST
  bcc :+
  iny
: lda jump_speed, y
  sta obj_y_speed
  lda jump_frac, y
  sta obj_y_frac
  lda jump_up, y
  sta gravity_up
  lda jump_down, y
  sta gravity_down
  lda #0
  sta obj_y_sub
  lda #AIR_JUMP
  sta obj_air
  sta rising
@hold:
  lda buttons
  and #BUTTON_A
  bne :+
  sta rising ; once let go, A lifts no more
: rts

; In: nothing. Out: A, how fast he is along x.
absolute_speed:
  lda obj_x_speed
  bpl :+
  eor #$FF
  clc
  adc #1
: rts

; Negates his speed along x, so that what follows need not know left from right.
mirror:
  lda #0
  sec
  sbc x_speed_frac
  sta x_speed_frac
  lda #0
  sbc obj_x_speed
  sta obj_x_speed
  rts

; Speeds him up to the right, up to t0.
accelerate:
  lda obj_x_speed
  bmi @turn
  cmp t0
  bcs @fast
  lda #WALK_GAIN
  ldy run_timer
  beq :+
  lda #RUN_GAIN
: clc
  adc x_speed_frac
  sta x_speed_frac
  bcc @done
  inc obj_x_speed
  lda obj_x_speed
  cmp t0
  bcc @done
@at_max:
  lda #0
  sta x_speed_frac
@done:
  rts
@fast:
  beq @at_max
  lda obj_air
  bne @done
  jsr brake ; he runs no more, but walks
  lda obj_x_speed
  cmp t0
  bcs @done
  lda t0
  sta obj_x_speed
  jmp @at_max
@turn: ; he slides the other way
  lda x_speed_frac
  clc
  adc #<SKID
  sta x_speed_frac
  lda obj_x_speed
  adc #>SKID
  sta obj_x_speed
  rts

; Slows him down, who moves to the right or stands.
brake:
  lda x_speed_frac
  sec
  sbc #FRICTION
  sta x_speed_frac
  bcs @done
  dec obj_x_speed
  bpl @done
  lda #0
  sta obj_x_speed
  sta x_speed_frac
@done:
  rts

; Moves him, and keeps him out of what is solid.
player_collisions:
  ldx #0
  jsr move_x
  jsr stay_on_screen
  jsr walls
  jsr gravity
  jsr move_y
  lda obj_y_speed
  bmi @up
  jmp floor
@up:
  jmp ceiling

; The screen's edges stop him.
stay_on_screen:
  lda obj_x
  sec
  sbc edge
  sta t0
  lda obj_x_page
  sbc edge_page
  bcc @left
  bne @right ; cannot be, but costs nothing
  lda t0
  cmp #256 - 16
  bcc @done
@right:
  lda edge
  clc
  adc #256 - 16
  sta obj_x
  lda edge_page
  adc #0
  jmp @stop
@left:
  lda edge
  sta obj_x
  lda edge_page
@stop:
  sta obj_x_page
  lda #0
  sta obj_x_speed
  sta x_speed_frac
  sta obj_x_sub
@done:
  rts

; Looks along both sides of his body, and puts him beside what is there.
walls:
  ldy #wall_heights_small - wall_heights
  lda power
  beq :+
  ldy #0
: sty t6
@height:
  ldy t6
  lda wall_heights, y
  beq @done
  tay
  lda #BODY_RIGHT
  jsr probe_solid
  bcs @right
  ldy t6
  lda wall_heights, y
  tay
  lda #BODY_LEFT
  jsr probe_solid
  bcs @left
  inc t6
  bne @height ; always
@done:
  rts
@right:
  lda probe_x
  and #$F0
  sec
  sbc #BODY_RIGHT + 1
  sta obj_x
  lda probe_page
  sbc #0
  sta obj_x_page
  lda obj_x_speed
  bmi @done
  bpl @stop ; always
@left:
  lda probe_x
  and #$F0
  clc
  adc #16 - BODY_LEFT
  sta obj_x
  lda probe_page
  adc #0
  sta obj_x_page
  lda obj_x_speed
  bpl @done
@stop:
  lda #0
  sta obj_x_speed
  sta x_speed_frac
  sta obj_x_sub
  rts

gravity:
  lda obj_y_speed
  bpl @down
  lda rising
  beq @down
  lda gravity_up
  jmp :+
@down:
  lda gravity_down
: ldy #FALL_MAX
  jmp fall

; Lands him on what is below his toes; else he falls.
floor:
  ldy #FEET
  lda #TOE_LEFT
  jsr probe_solid
  bcs :+
  ldy #FEET
  lda #TOE_RIGHT
  jsr probe_solid
  bcc @none
: lda obj_y
  and #$0F
  cmp #LANDING
  bcs @none ; too deep: that is a wall
  lda obj_y
  and #$F0
  sta obj_y
  lda #0
  sta obj_y_speed
  sta obj_y_frac
  sta obj_y_sub
  sta obj_air
  lda jump_down ; should he walk off
  sta gravity_down
  rts
@none:
  lda obj_air
  bne :+
  lda #AIR_FALL
  sta obj_air
: rts

; Stops his rise at what is above his head, and hits it.
ceiling:
  ldy #HEAD_SMALL
  lda power
  beq :+
  ldy #HEAD_TALL
: sty t6
  lda #8 ; what he hits is above his middle, or else above an ear
  jsr probe_solid
  bcs @hit
  ldy t6
  lda #HEAD_LEFT
  jsr probe_solid
  bcs @hit
  ldy t6
  lda #HEAD_RIGHT
  jsr probe_solid
  bcc @done
@hit:
  lda obj_y
  clc
  adc t6
  and #$F0
  clc
  adc #16
  sec
  sbc t6
  sta obj_y
  lda #0
  sta obj_y_sub
  sta obj_y_frac
  sta rising
  lda #1
  sta obj_y_speed
  jmp hit_block
@done:
  rts

; Harms him: tall, he becomes small; small, he dies. Not while he still blinks.
hurt_player:
  lda hurt_timer
  bne @done
  lda power
  beq kill_player
  lda #0
  sta power
  lda #HURT_INTERVALS
  sta hurt_timer
  lda #HURT_FRAMES
  sta state_timer
  lda #STATE_HURT
  sta player_state
@done:
  rts

kill_player:
  lda #STATE_DIE
  sta player_state
  lda #DEATH_PAUSE
  sta state_timer
  lda #DEATH_SPEED
  sta obj_y_speed
  lda #0
  sta obj_x_speed
  sta x_speed_frac
  sta obj_y_frac
  sta power
  rts

; Throws him up from what he stamped on.
bounce_player:
  lda #BOUNCE
  sta obj_y_speed
  lda #0
  sta obj_y_frac
  sta rising
  lda #AIR_JUMP
  sta obj_air
  rts

.segment "RODATA"

; How far below his place his sides are looked at; 0 ends. The lowest is some pixels above his
; feet, so that he gets onto a step that he almost reached.
wall_heights:
  .byte 5
wall_heights_small:
  .byte 19, 28, 0

; A jump: speed upwards and its fraction, gravity while A is held and he rises, else. Slow: 64
; pixels high, fast: 80.
jump_speed: .byte .lobyte(-4), .lobyte(-5)
jump_frac:  .byte $00, $40
jump_up:    .byte $20, $24
jump_down:  .byte $70, $80
